"""What is told of a prediction: its figures, its page, and its plot."""
