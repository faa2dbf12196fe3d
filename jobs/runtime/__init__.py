"""What any long work needs: progress, memory and time measured, errors in the user's terms."""
