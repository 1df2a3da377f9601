"""What of a run is shown, as plain data, and the script that draws it: for the panel, and to play a run back."""
