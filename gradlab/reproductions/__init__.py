"""Published claims, each run again with gradlab's own measurements and compared with the published number.

A file is a claim if it has `CLAIM`, what was published in one sentence, and `SOURCE`, by whom and where, and a function
`measure(study)` that returns the checks (`check`); it registers by standing in this folder (`registry`). What it trains
is stored below outputs/reproduce/<claim>, so that a second call reads it. An accepted interval is chosen from the
source and from the spread over seeds, never from what gradlab measured.
"""
