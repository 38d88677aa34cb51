"""How older databases become those that `bigimage.store.tables` describes."""
