"""Distillation losses: one function in one file, named as in the configuration.

A file in `hidden_states/` or `logits/` defines `loss(student, teacher, target)`, which returns one value per token of
the target's span, (tokens,). The training loop averages it over the tokens of the effective batch and weighs it. To add
a loss, add a file: the configuration finds it by its name. Its parameters, if it has any, are a dictionary `PARAMETERS`
in the file (a default and two bounds for each) and `parameters` of a target in the configuration; `target.settings` has
their values. Runs of other conditions stay as they are.
"""
