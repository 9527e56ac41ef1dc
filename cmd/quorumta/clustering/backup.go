package clustering

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"quorumta/cluster/store/backup"
	"quorumta/cmd/quorumta/console"
	"quorumta/cmd/quorumta/durable"
	"quorumta/internal/admin/api"
	"quorumta/internal/config"
	"quorumta/internal/config/value"
)

type backupCmd struct {
	console.Target
	File string `arg:"" help:"The file to write; nothing is overwritten."`
	Rate string `help:"At most so much a second: 512KB, 20MB." placeholder:"SIZE"`
}

// saved is what "cluster backup --json" prints.
type saved struct {
	File    string    `json:"file"`
	Cluster string    `json:"cluster"`
	Made    api.Time  `json:"made"`
	Bytes   int64     `json:"bytes"`
	Shards  []section `json:"shards"`
}

// section is what a backup has of a shard.
type section struct {
	ID      uint16 `json:"id"`
	Applied uint64 `json:"applied"`
	Bytes   int64  `json:"bytes"`
	SHA256  string `json:"sha256"`
}

// Run writes the file under another name, reads it over, and then gives it its
// own: a file of that name is a whole backup.
func (c *backupCmd) Run(ctx context.Context, s console.Streams) error {
	var rate config.Size
	if c.Rate != "" {
		var err error
		if rate, err = value.ParseSize(c.Rate); err != nil {
			return console.UsageError{Text: "--rate " + c.Rate + ": " + err.Error()}
		}
	}
	if _, err := os.Lstat(c.File); !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s is there already: choose another name, nothing is overwritten", c.File)
	}
	client, err := c.Dial()
	if err != nil {
		return err
	}
	defer client.Close()
	partial := c.File + ".partial"
	f, err := os.OpenFile(partial, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s is there: another backup is being written, or was cut off; then remove it", partial)
	}
	if err != nil {
		return fmt.Errorf("write the backup: %w", err)
	}
	defer func() { _ = os.Remove(partial) }()
	err = client.Backup(ctx, f, int64(rate), func(p api.Progress) {
		fmt.Fprintf(s.Err, "%s shard %d (%d of %d) from %s: %d bytes\n", time.Now().UTC().Format(time.TimeOnly), p.Shard, p.Nth, p.Of, p.Node, p.Bytes)
	})
	if err = errors.Join(err, f.Sync()); err != nil {
		return errors.Join(fmt.Errorf("no backup was made: %w", err), f.Close())
	}
	done, err := readOver(f, c.File)
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("no backup was made: %w", err)
	}
	if err := name(partial, c.File); err != nil {
		return fmt.Errorf("give the backup its name: %w", err)
	}
	if c.JSON {
		return console.PrintJSON(s.Out, done)
	}
	_, err = fmt.Fprintf(s.Out, "%s: %d shards, %d bytes, read over and whole\n", c.File, len(done.Shards), done.Bytes)
	return err
}

// name gives a file its name, durably, unless something has it.
func name(partial, to string) error {
	err := os.Link(partial, to)
	if err != nil && !errors.Is(err, fs.ErrExist) {
		err = os.Rename(partial, to) // there are file systems without links
	}
	if err != nil {
		return err
	}
	return durable.Names(filepath.Dir(to))
}

// readOver reads a whole backup and says what it has.
func readOver(f *os.File, name string) (*saved, error) {
	size, err := f.Seek(0, 2)
	if err == nil {
		_, err = f.Seek(0, 0)
	}
	if err != nil {
		return nil, err
	}
	h, sections, err := backup.Verify(f)
	if err != nil {
		return nil, err
	}
	out := &saved{File: name, Cluster: h.Cluster, Made: api.Time{Time: h.Made}, Bytes: size, Shards: []section{}}
	for _, x := range sections {
		out.Shards = append(out.Shards, section{ID: x.Shard, Applied: x.Applied, Bytes: x.Size, SHA256: fmt.Sprintf("%x", x.Digest)})
	}
	return out, nil
}
