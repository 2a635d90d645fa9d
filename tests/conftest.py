"""How long examples take says nothing on a busy computer: no property has a deadline."""

from hypothesis import HealthCheck, settings

settings.register_profile(
    "any computer", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("any computer")
