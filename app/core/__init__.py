"""What every part may use: settings, logging, texts, the clock."""
