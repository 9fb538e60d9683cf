"""The colours of points, clusters and captions, found once and shared by all sessions."""

from functools import lru_cache
from typing import Any

import numpy as np

from fxrelay_viz.category import Category
from fxrelay_viz.explanations import CLASSED
from fxrelay_viz.notes import NOTE, TAGS
from fxrelay_viz.palette import Colouring, colouring
from fxrelay_viz.project import Project
from fxrelay_viz.reasons import ranked
from fxrelay_viz.session import Session
from fxrelay_viz.state import CLUSTER


def cluster_colours(session: Session) -> Colouring:
    """Return the colours of the clusters of the open category."""
    return _clusters(session.category, session.state.clustering, session.state.k)


@lru_cache(maxsize=8)  # every card asks
def _clusters(category: Category, clustering: str, k: Any) -> Colouring:
    if not clustering:
        return colouring(np.zeros(len(category.ids), dtype=int))
    return colouring(category.clusters(clustering, k))


def point_colours(session: Session) -> Colouring:
    """Return the colours of the points."""
    name, project = session.state.colour_by, session.project
    if name == CLUSTER:
        return cluster_colours(session)
    if name in (TAGS, NOTE):  # these change
        return colouring(session.category.column(name))
    return _column(session.category, project, name)


@lru_cache(maxsize=8)
def _column(category: Category, project: Project, name: str) -> Colouring:
    values = category.column(name)
    if name in CLASSED:
        return colouring(values, project.class_name, range(len(project.classes)))
    return colouring(values)


def odd_cluster(session: Session) -> int | None:
    """Return the suspicious cluster, where the clustering shown is the one that was ranked."""
    rank, chosen = session.project.rank(session.state.category), session.state
    if chosen.k == "":
        return rank.cluster
    shown = (chosen.clustering, chosen.k)
    return rank.cluster if shown == (ranked(session.category, rank), rank.n_clusters) else None
