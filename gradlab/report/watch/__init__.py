"""A stored run or study, shown in a terminal while it is written.

place     which run or study is meant
followed  what is known of one run so far, read part by part
studied   what is known of each run of a study so far
run_view, study_view  both as lines of a terminal
drawing   the parts of a view, which the progress of `gradlab run` has, too
braille, heat_map     curves over layers, and layers over steps, as characters
keys      single keys of a terminal, without an Enter
screen, lines  the view in a terminal, and a line per change where there is none
"""
