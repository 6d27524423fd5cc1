from pipeline.rules.night_budget import HostRequests, NightBudget


def test_a_host_gets_what_its_limit_and_the_budget_leave() -> None:
    limits = HostRequests.of(NightBudget(requests=100), 50, {"own.example": 70, "any.example": None})
    hosts = ("own.example", "any.example", "other.example", "localhost:8080")
    assert [limits.of_host(host) for host in hosts] == [70, 100, 50, 100]
    assert [HostRequests.of(NightBudget(), None, {"own.example": 7}).of_host(host) for host in hosts] == [
        7,
        *[None] * 3,
    ]
