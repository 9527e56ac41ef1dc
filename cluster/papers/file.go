package papers

import (
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"

	"github.com/cockroachdb/pebble/v2/vfs"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// sealMark begins a file's last line: the CRC32C, in hex, of what is before it.
const sealMark = "crc32c "

// seal is the text with its checksum.
func seal(text []byte) []byte {
	text = append(bytes.TrimRight(bytes.Clone(text), "\n"), '\n')
	return fmt.Appendf(text, "%s%08x\n", sealMark, crc32.Checksum(text, castagnoli))
}

// open checks and removes the checksum. sealed is false for a text that has
// none, as in older versions.
func open(path string, text []byte) (content []byte, sealed bool, err error) {
	i := bytes.LastIndex(text, []byte("\n"+sealMark))
	if i < 0 {
		return text, false, nil
	}
	if i++; !bytes.Equal(seal(text[:i]), text) {
		return nil, false, damaged(path)
	}
	return text[:i], true, nil
}

func damaged(path string) error {
	return fmt.Errorf("%s is damaged: its checksum is not that of its content; let the node rejoin as new: "+
		"empty its data directory, then quorumta cluster join", path)
}

func (p *Papers) path(name string) string { return p.owner.FS.PathJoin(p.owner.Dir, name) }

// read reads a sealed file; the error of one that is absent is fs.ErrNotExist.
func (p *Papers) read(name string) (text []byte, sealed bool, err error) {
	f, err := p.owner.FS.Open(p.path(name))
	if err != nil {
		if _, absent := p.owner.FS.Stat(p.path(name)); absent != nil {
			return nil, false, fs.ErrNotExist
		}
		return nil, false, err
	}
	text, err = io.ReadAll(f)
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, false, err
	}
	return open(p.path(name), text)
}

// replace replaces a file as a whole, sealed.
func (p *Papers) replace(name string, text []byte) error {
	files := p.owner.FS
	if err := files.MkdirAll(p.owner.Dir, 0o700); err != nil {
		return err
	}
	f, err := files.Create(p.path(name+".new"), vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	_, err = f.Write(seal(text))
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := files.Rename(p.path(name+".new"), p.path(name)); err != nil {
		return err
	}
	return p.syncDir(p.owner.Dir)
}

// syncDir makes the names in a directory durable.
func (p *Papers) syncDir(dir string) error {
	d, err := p.owner.FS.OpenDir(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
