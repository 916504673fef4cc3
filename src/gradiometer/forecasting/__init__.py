"""What a change would make of a gain budget, foretold by mean-field theory from one full measurement."""

from gradiometer.forecasting.changes import Changes, changes_of
from gradiometer.forecasting.forecast import BALANCED_DB, Forecast, best_change, forecast_level

__all__ = ["BALANCED_DB", "Changes", "Forecast", "best_change", "changes_of", "forecast_level"]
