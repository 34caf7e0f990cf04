"""The room of signals and learned scores; empty until the SignalService is built."""
