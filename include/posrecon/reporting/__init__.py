"""What a night says about itself: figures, the readable report, the notification."""

from posrecon.reporting.night_report import night_text

__all__ = ["night_text"]
