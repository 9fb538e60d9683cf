from . import stages as stages
from .digesting import digest as digest
from .spraying import spray as spray
from .store import Store as Store
