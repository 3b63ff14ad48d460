"""Runs a framework's probe file, rung by rung, in child processes, and writes what happens to result.json.

The parts are packed into one file, `driver.pyz` (`sweep/probe/pack.py`), which the environment's own Python runs on
the execute node: standard library only, Python 3.8 to 3.14, nothing written outside the job's directory, no network.

    main      the command line: the parent, or one of its children
    parent    runs the children one after the other, keeps the record, draws the line between verdict and accident
    process   starting, following and killing a child
    record    result.json in memory and on disk
    slot      what the slot's ad says of the job's devices
    child     what a child does: climb, look at the driver's library, or measure
    rungs     the ladder
    checks    inputs whose answers are exact, references in float64, comparison
    libcuda   the driver's own library, asked without any framework
    speed     a small workload, timed on the GPU and on the CPU
    common    words that all of them use

A child may crash, hang or write anything; the parent lives on. It reports on a pipe of its own, in lines of JSON.
"""
