"""The audit API: what people and billing read, over the SQL store. The last stop of the data."""
