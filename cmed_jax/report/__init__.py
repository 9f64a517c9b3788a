"""Reports of predictions and evaluations: tables, charts, pages, plots and model cards."""
