package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestRouterFaults puts a router into the example and expects one fault.
func TestRouterFaults(t *testing.T) {
	for router, want := range map[string]string{
		`{name: r}`: `a router has one of hosts, mx, accept, redirect and copy`,
		`{name: r, mx: {}, copy: '"a@b.example"'}`:                  `a router has one of hosts`,
		`{name: r, mx: {mx_domains: [our]}}`:                        `there is no list our, it names one of lists:`,
		`{name: r, mx: {mx_fail_domains: [our]}}`:                   `there is no list our`,
		`{name: r, mx: {fail_defer_domains: [ours, our]}}`:          `there is no list our`,
		`{name: r, mx: {check_srv: _smtp}}`:                         `"_smtp" is not the name of a service`,
		`{name: r, mx: {srv: smtp}}`:                                `unknown key "srv"`,
		`{name: r, mx: {}, ignore_target_hosts: [trust]}`:           `there is no net trust`,
		`{name: r, mx: {}, self: send}`:                             `"send" is not possible, known here: fail, defer, pass, decline`,
		`{name: r, mx: {}, host_find_failed: freeze}`:               `"freeze" is not possible`,
		`{name: r, accept: nowhere, self: fail}`:                    `only hosts and mx find hosts`,
		`{name: r, hosts: [a/mx/mx]}`:                               `"a/mx/mx" is not a host`,
		`{name: r, redirect: {}}`:                                   `a redirect has either files, lookups or data`,
		`{name: r, redirect: {files: [none]}}`:                      `cannot read `,
		`{name: r, redirect: {data: info}}`:                         `a constant text has quotes of its own`,
		`{name: r, redirect: {data: '"x"', key: rcpt.local}}`:       `data is not looked up`,
		`{name: r, redirect: {data: '"x"', qualify_domain: "a b"}}`: `"a b" is not a domain`,
		`{name: r, redirect: {data: '"x"', pipe_transport: pipe}}`:  `there is no transport pipe`,
		`{name: r, redirect: {data: '"x"', file_transport: boxes}}`: `transport boxes needs hosts`,
		`{name: r, mx: {}, address_data: 'header["x"]'}`:            `header is not known here`,
		`{name: r, mx: {}, if: has(header.x)}`:                      `write "x" in header`,
		`{name: r, copy: journal}`:                                  `unknown name journal`,
		`{name: r, mx: {}, errors_to: owner}`:                       `unknown name owner`,
		`{name: r, mx: {}, headers_add: ['"X: 1"', x]}`:             `unknown name x`,
		`{name: r, mx: {}, headers_remove: ["X:"]}`:                 `"X:" is not the name of a field`,
		`{name: r, mx: {}, address_data: rcpt.size}`:                `unknown name rcpt.size`,
		`{name: r, mx: {}, suffix: ["*+"]}`:                         `"*+" is no suffix`,
		`{name: r, mx: {}, prefix: ["*"]}`:                          `"*" is no prefix`,
		`{name: r, mx: {}, suffix_optional: true}`:                  `there is no suffix that could be left out`,
		`{name: r, mx: {}, pass_router: r}`:                         `there is no later router r`,
		`{name: r, mx: {}, redirect_router: none}`:                  `there is no router none`,
		`{name: r, mx: {}, more: maybe}`:                            `"maybe" is neither true nor false`,
	} {
		t.Run(router, func(t *testing.T) {
			_, err := Load(write(t, strings.Replace(example, "routers:\n", "routers:\n  - "+router+"\n", 1)), "")
			faults, ok := err.(Faults)
			if !ok || len(faults) != 1 || !strings.Contains(err.Error(), want) {
				t.Errorf("got\n%v\nwant\n%s", err, want)
			}
		})
	}
}

func TestRouters(t *testing.T) {
	path := write(t, strings.Replace(example, "routers:\n", `routers:
  - {name: aliases, prefix: [owner-], suffix: ["+*"], prefix_optional: true, suffix_optional: true, redirect: {files: [aliases], key: rcpt.local, pipe_transport: nowhere, file_transport: nowhere, qualify_domain: corp.example}, redirect_router: internet}
  - {name: lists, redirect: {data: '":include:/etc/list"'}, errors_to: '"owner-" + rcpt.address', headers_add: ['"List-Id: <x>"'], headers_remove: [X-*], address_data: rcpt.local}
  - {name: quiet, if: sender.address == "", accept: nowhere, errors_to: '""', more: false}
  - {name: journal, copy: '"journal@archive.example"'}
  - {name: some, mx: {mx_domains: [ours], mx_fail_domains: [ours], fail_defer_domains: [ours], check_srv: smtp, check_secondary_mx: true}, ignore_target_hosts: [trusted], self: pass, pass_on_timeout: true, pass_router: internet}
  - {name: found, hosts: [corp.example/MX, "corp.example:26/mx"], host_find_failed: decline}
`, 1))
	aliases := filepath.Join(filepath.Dir(path), "aliases")
	if err := os.WriteFile(aliases, []byte("a: b\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := Load(path, "")
	if err != nil {
		t.Fatal(err)
	}
	if got := f.Routers[0].Redirect.Files[0]; got != aliases {
		t.Errorf("the file is %s", got)
	}
	if e := f.Routers[2].ErrorsTo; e == nil || *e != `""` || *f.Routers[2].More {
		t.Errorf("got %+v", f.Routers[2])
	}
}
