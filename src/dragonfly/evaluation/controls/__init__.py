"""Controls: what an answer, a score or an explanation must beat before it says anything about seeing.

`baselines` guess, or look at no image or another one. `audit` asks any model (`subject`) again with its evidence taken out of the
image (`pixels`, `conditions`), and says what follows (`summary`, `told`). `attribution` leaves out sub-images after the tower.
"""

from .baselines import Majority, majority, random_options, with_shuffled_images, without_images

__all__ = ["Majority", "majority", "random_options", "with_shuffled_images", "without_images"]
