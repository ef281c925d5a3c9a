"""Distillation losses: one function in one file, named as in the configuration.

Every file defines `loss(student, teacher, condition)`, which returns one value per example, (batch,). The training loop
averages it over the effective batch and weighs it with λ. To add one, add a file and its name to the condition's class
in config/catalogue.py; runs of other conditions stay as they are.
"""
