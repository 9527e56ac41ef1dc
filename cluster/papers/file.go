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

// seal adds the checksum.
func seal(text []byte) []byte {
	text = append(bytes.TrimRight(text, "\n"), '\n')
	return fmt.Appendf(text, "%s%08x\n", sealMark, crc32.Checksum(text, castagnoli))
}

// open checks and removes the checksum. A file from before there were any has
// none.
func open(path string, text []byte) ([]byte, error) {
	i := bytes.LastIndex(text, []byte("\n"+sealMark))
	if i < 0 {
		return text, nil
	}
	if i++; !bytes.Equal(seal(text[:i]), text) {
		return nil, fmt.Errorf("%s is damaged: its checksum is not that of its content; let the node rejoin as new: quorumta cluster remove, then cluster join with an empty data directory", path)
	}
	return text[:i], nil
}

func (p *Papers) path(name string) string { return p.owner.FS.PathJoin(p.owner.Dir, name) }

// read reads a sealed file; the error of one that is absent is fs.ErrNotExist.
func (p *Papers) read(name string) ([]byte, error) {
	f, err := p.owner.FS.Open(p.path(name))
	if err != nil {
		if _, absent := p.owner.FS.Stat(p.path(name)); absent != nil {
			return nil, fs.ErrNotExist
		}
		return nil, err
	}
	text, err := io.ReadAll(f)
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, err
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
	d, err := files.OpenDir(p.owner.Dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
