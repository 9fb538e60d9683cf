"""What is typical of clusters: mean maps and prototypes, found once and shared by all sessions."""

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any, Final

import numpy as np

from fxrelay import schema
from fxrelay_viz import insight
from fxrelay_viz.category import Category
from fxrelay_viz.images import HOVER
from fxrelay_viz.means import known_means, mean_pictures
from fxrelay_viz.pictures import Picture
from fxrelay_viz.project import Project
from fxrelay_viz.reasons import has_scores
from fxrelay_viz.session import Session
from fxrelay_viz.views.looks import look_of, renderer

PROTOTYPES: Final = 6
MOST_CLUSTERS: Final = 40


def means(session: Session, clustering: str, k: Any) -> Mapping[int, Picture]:
    """Return the mean picture of each cluster; those that the analysis made, where it did."""
    chosen = session.state
    return _means(session.project, session.category, clustering, k, chosen.variable, chosen.target)


@lru_cache(maxsize=16)
def _means(
    project: Project, category: Category, clustering: str, k: Any, variable: str, target: int
) -> Mapping[int, Picture]:
    if has_scores(category, clustering, k):
        known = known_means(category, clustering, k, variable, target)
        if known:
            return known
    labels = category.clusters(clustering, k)
    found = np.unique(labels)[:MOST_CLUSTERS].tolist()
    return mean_pictures(project.explanations, category.positions, labels, found, variable, target)


def drawn(session: Session, picture: Picture, limit: float | None = None) -> str:
    """Draw a mean, and return its address."""
    project = session.project
    limits = project.input_range if project.has_input else (0.0, 1.0)
    look = look_of(session, HOVER, renderer(session).mean, limit)
    return session.gallery.made(picture, look, limits)


def end(pictures: Iterable[Picture]) -> float | None:
    """Return the largest magnitude that is drawn of pictures; None where all are 0."""
    found = 0.0
    for picture in pictures:
        values = picture.relevance
        is_image = schema.Y in values.dims and schema.CHANNEL in values.dims
        summed = values.sum(schema.CHANNEL) if is_image else values
        found = max(found, float(abs(summed).max()))
    return found or None


def prototypes(session: Session, clustering: str, k: Any) -> Mapping[int, np.ndarray]:
    """Return the most typical samples of each cluster, as positions in the category."""
    return _prototypes(session.category, clustering, k, session.state.embedding)


@lru_cache(maxsize=16)
def _prototypes(
    category: Category, clustering: str, k: Any, embedding: str
) -> Mapping[int, np.ndarray]:
    return insight.prototypes(category, clustering, k, embedding, PROTOTYPES)
