"""A load for a mesh that runs: Firefox and Chrome users of the shop, through its ingress gateway.

meshloom up examples/shop --gateway-port 80:8080
locust -f bench/locustfile.py --headless -u 50 -r 10 -t 30s --host http://127.0.0.1:8080
"""

from __future__ import annotations

from locust import FastHttpUser, constant_throughput, task

FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
CHROME = (
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36"
)


class Shopper(FastHttpUser):
    """Ten requests a second each, so that the number of users sets the rate."""

    abstract = True
    agent = ""
    wait_time = constant_throughput(10)

    @task
    def browse(self) -> None:
        self.client.get(
            "/", headers={"User-Agent": self.agent, "Host": "shop.example.com"}, name=type(self).__name__
        )


class FirefoxUser(Shopper):
    agent = FIREFOX


class ChromeUser(Shopper):
    agent = CHROME
