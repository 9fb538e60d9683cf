from . import stages as stages
from .digesting import digest as digest
from .pipeline import Pipeline as Pipeline
from .pipeline import Step as Step
from .recipe import Recipe as Recipe
from .spraying import spray as spray
from .store import Store as Store
