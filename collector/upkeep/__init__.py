"""An operator's tools beside a running `serve`: replay, verify, sending dead letters again, trying what the settings name."""
