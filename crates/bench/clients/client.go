// One client of `cargo xtask clients`: client METHOD URL
// Asks every 100 ms and says on a line of its own which version answered, or what went wrong.
package main

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"runtime"
	"time"
)

func ask(client *http.Client, method, url string) (string, error) {
	var body io.Reader
	if method == "POST" {
		said, err := os.ReadFile("body")
		if err != nil {
			return "", err
		}
		body = bytes.NewReader(said)
	}
	request, err := http.NewRequest(method, url, body)
	if err != nil {
		return "", err
	}
	answer, err := client.Do(request)
	if err != nil {
		return "", err
	}
	defer answer.Body.Close()
	if _, err := io.Copy(io.Discard, answer.Body); err != nil {
		return "", err
	}
	return answer.Header.Get("X-App-Version"), nil
}

func main() {
	if os.Args[1] == "version" {
		fmt.Println(runtime.Version())
		return
	}
	client := &http.Client{Timeout: 5 * time.Second}
	for {
		version, err := ask(client, os.Args[1], os.Args[2])
		if err != nil {
			version = "error " + err.Error()
		}
		fmt.Println(version)
		time.Sleep(100 * time.Millisecond)
	}
}
