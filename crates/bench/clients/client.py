# One client of `cargo xtask clients`: python3 client.py KIND METHOD URL
# Asks every 100 ms and says on a line of its own which version answered, or what went wrong.
import http.client
import sys
import time
import urllib.parse
import urllib.request

kind, method, url = (sys.argv[1:] + [""])[:3]
place = urllib.parse.urlsplit(url)
body = open("body", "rb").read() if method == "POST" else None




def kept():
    connection = http.client.HTTPConnection(place.hostname, place.port, timeout=5)

    def ask():
        try:
            connection.request(method, place.path, body=body)
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


def events():
    import requests

    # It opens another when one has ended, which is its own doing: no library here does it.
    def listen():
        with requests.get(url + "events", stream=True, timeout=5) as stream:
            for line in stream.iter_lines(chunk_size=1):
                if line.startswith(b"data: "):
                    print(line[6:].decode(), flush=True)
        print("note the stream ended", flush=True)

    return listen


def socket():
    from websockets.exceptions import ConnectionClosed
    from websockets.sync.client import connect

    # The same.
    def talk():
        with connect(place._replace(scheme="ws", path="/ws").geturl()) as stream:
            while True:
                waiting = False
                try:
                    stream.send("hello")
                    waiting = True
                    print(stream.recv(timeout=5).split()[0], flush=True)
                except ConnectionClosed as error:
                    code = error.rcvd.code if error.rcvd else 1006
                    lost = "a message was lost, " if waiting else ""
                    word = "error" if lost or code == 1006 else "note"
                    print(word, f"{lost}closed with {code}", flush=True)
                    return
                time.sleep(0.1)

    return talk


if method == "version":
    if kind in ("session", "events"):
        import requests
        print("requests", requests.__version__, end=", ")
    if kind == "httpx":
        import h2
        import httpx
        print("httpx", httpx.__version__, end=", ")
    if kind == "socket":
        import websockets
        print("websockets", websockets.__version__, end=", ")
    print("Python", sys.version.split()[0])
    sys.exit(0)

ways = {"kept": kept, "fresh": fresh, "session": session, "httpx": httpx, "events": events, "socket": socket}
ask = ways[kind]()
while True:
    try:
        answer = ask()
        if answer:
            print(answer, flush=True)
    except Exception as error:
        print("error", repr(error)[:160], flush=True)
    time.sleep(0.1)
