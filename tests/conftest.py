"""What every test shares: property tests that draw the same examples on every run."""

from hypothesis import HealthCheck, settings

# Two shared cores make single examples slow now and then: a deadline would fail on the machine, not on the code.
settings.register_profile(
    "posrecon", derandomize=True, deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("posrecon")
