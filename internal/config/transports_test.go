package config

import (
	"strings"
	"testing"
)

// TestTransportFaults puts rows into the example and expects one fault.
func TestTransportFaults(t *testing.T) {
	for name, c := range map[string]struct{ transport, router, want string }{
		"no kind":           {`{name: x}`, ``, `the transport does not say how mail goes, write smtp:`},
		"two kinds":         {`{name: x, lmtp: {}, discard: {}}`, ``, `a transport is one of discard, lmtp`},
		"smtp":              {`{name: smtp, discard: {}}`, ``, `smtp is there without being named`},
		"no name":           {`{discard: {}}`, ``, `name is missing`},
		"twice":             {`{name: boxes, discard: {}}`, ``, `the name boxes is used twice`},
		"relative socket":   {`{name: x, lmtp: {socket: run/lmtp}}`, ``, `"run/lmtp" is not the path of a socket`},
		"plain path":        {`{name: x, maildir: {path: mail}}`, ``, `a constant text has quotes of its own`},
		"bad path":          {`{name: x, maildir: {path: '"/mail/" + rcpt.user'}}`, ``, `unknown name rcpt.user`},
		"quota":             {`{name: x, maildir: {path: '"/m"', quota_messages: -1}}`, ``, `fewer than no messages`},
		"no path of one":    {`{name: x, pipe: {command: [cat, x]}}`, ``, `"cat" is not the path of a program, there is no shell`},
		"much output":       {`{name: x, pipe: {command: [/bin/cat], output: 1MB}}`, ``, `at most 20KB of output are kept`},
		"status":            {`{name: x, pipe: {command: [/bin/cat], temporary: [75, 0]}}`, ``, `exit statuses of failures are 1 to 255`},
		"variable":          {`{name: x, pipe: {command: [/bin/cat], environment: {"A-B": x}}}`, ``, `"A-B" is not the name of a variable`},
		"processes":         {`{name: x, pipe: {command: [/bin/cat], processes: -1}}`, ``, `fewer than no processes`},
		"no url":            {`{name: x, http: {url: hooks.example}}`, ``, `"hooks.example" is not the URL of a web server`},
		"own field":         {`{name: x, http: {url: "https://a", headers: {content-type: x}}}`, ``, `the transport sets content-type itself`},
		"no field":          {`{name: x, http: {url: "https://a", headers: {"a b": x}}}`, ``, `"a b" is not the name of a field`},
		"misspelt":          {``, `{name: r, accept: nowere}`, `there is no transport nowere, did you mean nowhere?`},
		"misspelt, hosts":   {``, `{name: r, hosts: [a], transport: boxs}`, `there is no transport boxs, did you mean boxes?`},
		"accept hosts":      {``, `{name: r, accept: boxes}`, `transport boxes needs hosts, write hosts: […], transport: boxes`},
		"hosts, not needed": {``, `{name: r, hosts: [a], transport: nowhere}`, `transport nowhere takes no hosts, write accept: nowhere`},
		"mx by lmtp":        {``, `{name: r, mx: {}, transport: boxes}`, `MX records lead to servers that speak SMTP`},
		"port 25":           {``, `{name: r, hosts: ["a:25"], transport: boxes}`, `port 25 is SMTP's, LMTP has a port of its own`},
		"both":              {``, `{name: r, accept: nowhere, transport: boxes}`, `accept names the transport`},
		"accept and tls":    {``, `{name: r, accept: nowhere, tls: verify}`, `accept leads to no host`},
		"accept and hosts":  {``, `{name: r, accept: nowhere, hosts: [a]}`, `a router has one of hosts, mx, accept, redirect and copy`},
	} {
		t.Run(name, func(t *testing.T) {
			text := example
			if c.transport != "" {
				text = strings.Replace(text, "transports:\n", "transports:\n  - "+c.transport+"\n", 1)
			}
			if c.router != "" {
				text = strings.Replace(text, "routers:\n", "routers:\n  - "+c.router+"\n", 1)
			}
			_, err := Load(write(t, text), "")
			faults, ok := err.(Faults)
			if !ok || len(faults) != 1 || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got\n%v\nwant\n%s", err, c.want)
			}
		})
	}
	for _, router := range []string{
		`{name: r, hosts: [a], transport: boxes}`, `{name: r, hosts: ["a:24"], transport: boxes, tls: verify}`,
		`{name: r, mx: {}, transport: smtp}`, `{name: r, accept: nowhere}`,
	} {
		if _, err := Load(write(t, strings.Replace(example, "routers:\n", "routers:\n  - "+router+"\n", 1)), ""); err != nil {
			t.Errorf("%s: %v", router, err)
		}
	}
}
