"""The report: runs as one HTML file that needs no network, and no JavaScript to be read.

page       what stands in the report, and the file made of it
overview   several runs beside each other: order, labels, results as a table
sections   one run in the report: its state, verdicts, evidence, pictures and provenance
evidence   the findings of a diagnosis as rows of a table
choices    the recipes as tables: what is common to all runs, and what differs
command    the command line that runs a recipe again
curves     the numbers that the page draws itself: profiles over layers and steps, losses over steps
svg        a figure as SVG that can stand in a page
notebook   a report and a figure as a notebook shows them

page.html is the page as it is read without JavaScript, page.css its look. With it table.js sorts and filters the
results, explore.js draws what the reader chooses, heatmap.js is the heat map, and numbers.js writes numbers. uPlot
draws the curves (uPlot.LICENSE: MIT).
"""
