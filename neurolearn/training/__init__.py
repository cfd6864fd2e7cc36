"""Training in tensor.rate: any rule, or a control, on any network and data set, with what every epoch reached.

    run = train("feedback_alignment", mlp([64, 64, 32, 10]), data.load("digits"), seed=0)
    run.history[-1]["test_accuracy"], run.history[-1]["angle_to_backprop_deg"]
"""

from neurolearn.training.controls import CONTROLS, backprop_from
from neurolearn.training.one_vs_rest import one_vs_rest
from neurolearn.training.schedule import Schedule
from neurolearn.training.search import search
from neurolearn.training.settings import TASKS, Rate, Task, task
from neurolearn.training.train import Run, train

__all__ = ["CONTROLS", "TASKS", "Rate", "Run", "Schedule", "Task", "backprop_from", "one_vs_rest", "search", "task", "train"]
