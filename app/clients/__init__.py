"""All talk with the partner."""
