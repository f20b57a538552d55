"""What a model is worth on test images: figures, plots, the report."""
