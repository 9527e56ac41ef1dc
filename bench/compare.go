package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"quorumta/bench/measure"
	"quorumta/bench/subject"
	"quorumta/bench/work"
)

// gridFlags say which cells are worked, and how long.
type gridFlags struct {
	Sizes    []int         `help:"Bytes of a message." default:"10000"`
	Sessions []int         `help:"Connections used at once." default:"50"`
	Carry    []int         `help:"Messages a connection carries; 1: a new one for each." default:"100"`
	Rate     float64       `help:"Messages a second, whatever the relay does; 0: as fast as they go." default:"0"`
	For      time.Duration `help:"How long clients send in each cell." default:"10s"`
	Warm     time.Duration `help:"How long they did so before." default:"2s"`
	Drain    time.Duration `help:"How long mail may take to arrive after that." default:"30s"`
	Rounds   int           `help:"How often all of it is done; tables show medians." default:"3"`
	Dir      string        `help:"Data and configurations go below this; the disk that is measured." type:"path"`
	Out      string        `help:"JSON and plots go here, NAME.json and NAME-….svg." placeholder:"docs/performance/NAME" type:"path"`
}

// plan is the grid with all its cells.
func (f gridFlags) plan() work.Plan {
	p := work.Plan{
		Dir: f.Dir, Rounds: f.Rounds, Options: work.Options{For: f.For, Warm: f.Warm, Drain: f.Drain},
		Say: func(line string) { fmt.Fprintln(os.Stderr, line) },
	}
	for _, size := range f.Sizes {
		for _, sessions := range f.Sessions {
			for _, carry := range f.Carry {
				p.Cells = append(p.Cells, work.Cell{Size: size, Sessions: sessions, PerConnection: carry, Rate: f.Rate})
			}
		}
	}
	return p
}

// compare carries a plan out, prints and writes.
func (f gridFlags) compare(ctx context.Context, p work.Plan, bases ...string) error {
	dir, remove, err := workDir(f.Dir)
	if err != nil {
		return err
	}
	defer remove()
	p.Dir = dir
	report := work.Report{Command: strings.Join(os.Args[1:], " "), Started: time.Now().UTC(), Machine: measure.ThisHost(),
		Durable: map[string]string{}}
	for _, k := range p.Kinds {
		report.Durable[k.Name] = k.Durable
	}
	report.Results, err = work.Compare(ctx, p)
	report.Took = time.Since(report.Started)
	if len(report.Results) == 0 {
		return errors.Join(err, errors.New("nothing was measured"))
	}
	report.Medians = work.Medians(report.Results)
	err = errors.Join(err, work.Print(os.Stdout, report.Medians, bases...), writeOut(f.Out, report))
	if f.Out == "" {
		return err
	}
	return errors.Join(err, drawComparison(f.Out, report))
}

// workDir makes a folder for data below dir, "" for the place of temporary
// files, that other users' processes can enter.
func workDir(dir string) (made string, remove func(), err error) {
	if dir != "" {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return "", nil, err
		}
	}
	made, err = os.MkdirTemp(dir, "bench-")
	if err != nil {
		return "", nil, err
	}
	return made, func() { _ = os.RemoveAll(made) }, os.Chmod(made, 0o755)
}

// writeOut writes out.json; "" is nowhere.
func writeOut(out string, v any) error {
	if out == "" {
		return nil
	}
	text, err := json.MarshalIndent(v, "", "  ")
	if err == nil {
		err = os.MkdirAll(filepath.Dir(out), 0o755)
	}
	if err == nil {
		err = os.WriteFile(out+".json", text, 0o644)
	}
	if err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	return nil
}

// clusterFlags say which clusters are measured.
type clusterFlags struct {
	Binary string   `help:"The program: go build -o quorumta ./cmd/quorumta." required:"" type:"existingfile"`
	Nodes  []int    `help:"Nodes of each cluster." default:"3"`
	Config []string `help:"\"SECTION.KEY: VALUE\", cluster.shards: 6 say, for each configuration; or a line for its end. May be given again." sep:"none"`
	Env    []string `help:"NAME=VALUE for the nodes; may be given again." sep:"none"`
}

// kinds are the clusters.
func (f clusterFlags) kinds() []subject.Kind {
	var out []subject.Kind
	for _, n := range f.Nodes {
		out = append(out, subject.Quorumta(fmt.Sprintf("quorumta-%d", n), f.options(n)))
	}
	return out
}

func (f clusterFlags) options(nodes int) subject.QuorumtaOptions {
	o := subject.QuorumtaOptions{Binary: f.Binary, Nodes: nodes, Env: f.Env}
	if len(f.Config) > 0 {
		o.Edit = func(_ string, config []byte) []byte { return subject.Configure(config, f.Config...) }
	}
	return o
}
