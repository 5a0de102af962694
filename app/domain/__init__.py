"""The rules of Hermes as pure code: no I/O, no clock, no settings; time and chance come in as arguments."""
