# One client of `cargo xtask clients`: python3 client.py KIND METHOD URL
# Asks every 100 ms and says on a line of its own which version answered, or what went wrong.
import http.client
import sys
import time
import urllib.parse
import urllib.request

kind, method, url = (sys.argv[1:] + [""])[:3]
place = urllib.parse.urlsplit(url)
body = b"{}" if method == "POST" else None




def kept():
    connection = http.client.HTTPConnection(place.hostname, place.port, timeout=5)

    def ask():
        try:
            connection.request(method, "/", body=body)
            answer = connection.getresponse()
            answer.read()
            return answer.headers["x-app-version"]
        except Exception:
            connection.close()
            raise

    return ask


def fresh():
    def ask():
        request = urllib.request.Request(url, data=body, method=method)
        with urllib.request.urlopen(request, timeout=5) as answer:
            answer.read()
            return answer.headers["x-app-version"]

    return ask


def session():
    import requests

    kept = requests.Session()

    def ask():
        return kept.request(method, url, data=body, timeout=5).headers["x-app-version"]

    return ask


def httpx():
    import os

    import httpx

    kept = httpx.Client(http2=True, verify=os.environ["SSL_CERT_FILE"])

    def ask():
        return kept.request(method, url, content=body, timeout=5).headers["x-app-version"]

    return ask


if method == "version":
    if kind == "session":
        import requests
        print("requests", requests.__version__, end=", ")
    if kind == "httpx":
        import h2
        import httpx
        print("httpx", httpx.__version__, end=", ")
    print("Python", sys.version.split()[0])
    sys.exit(0)

ask = {"kept": kept, "fresh": fresh, "session": session, "httpx": httpx}[kind]()
while True:
    try:
        print(ask(), flush=True)
    except Exception as error:
        print("error", repr(error)[:160], flush=True)
    time.sleep(0.1)
