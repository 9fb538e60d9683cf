"""The Clever Hans of the demo: data with a planted artefact, and a network that falls for it."""
