package inject

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"
)

// ClocksAvailable says what is missing, nil for nothing.
func ClocksAvailable() error {
	if runtime.GOARCH != "amd64" || os.Geteuid() != 0 {
		return errors.New("a process's clock is moved on amd64, by root")
	}
	return nil
}

// SetClock moves the wall clock that one process sees by so many seconds,
// against the machine's: 0 puts it right. Its monotonic clock goes on. It
// serves programs that read the clock through the vDSO, as Go's do: the
// process's own copy of that gets other code.
func SetClock(pid int, offset time.Duration) error {
	from, to, err := vdso(pid)
	if err != nil {
		return err
	}
	memory, err := os.OpenFile("/proc/"+strconv.Itoa(pid)+"/mem", os.O_RDWR, 0)
	if err != nil {
		return fmt.Errorf("open the memory of process %d: %w", pid, err)
	}
	defer memory.Close()
	image := make([]byte, to-from)
	if _, err := io.ReadFull(io.NewSectionReader(memory, from, to-from), image); err != nil {
		return fmt.Errorf("read the vDSO of process %d: %w", pid, err)
	}
	at, size, err := clockGettime(image)
	if err != nil {
		return err
	}
	code := skewed(int64(offset / time.Second))
	if int(size) < len(code) {
		return fmt.Errorf("clock_gettime has %d bytes in this kernel's vDSO, %d are needed", size, len(code))
	}
	if _, err := memory.WriteAt(code, from+int64(at)); err != nil {
		return fmt.Errorf("write the vDSO of process %d: %w", pid, err)
	}
	return nil
}

// vdso finds where the process has it.
func vdso(pid int) (from, to int64, err error) {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/maps")
	if err != nil {
		return 0, 0, err
	}
	for line := range strings.Lines(string(text)) {
		if !strings.HasSuffix(strings.TrimSpace(line), "[vdso]") {
			continue
		}
		_, err := fmt.Sscanf(line, "%x-%x", &from, &to)
		return from, to, err
	}
	return 0, 0, fmt.Errorf("process %d has no vDSO", pid)
}

// clockGettime finds the function in the vDSO, which is an ELF image.
func clockGettime(image []byte) (at, size uint64, err error) {
	f, err := elf.NewFile(bytes.NewReader(image))
	if err != nil {
		return 0, 0, fmt.Errorf("read the vDSO: %w", err)
	}
	symbols, err := f.DynamicSymbols()
	if err != nil {
		return 0, 0, fmt.Errorf("read the vDSO's symbols: %w", err)
	}
	for _, s := range symbols {
		if s.Name == "__vdso_clock_gettime" {
			return s.Value, s.Size, nil
		}
	}
	return 0, 0, errors.New("the vDSO has no __vdso_clock_gettime")
}

// skewed is the machine code of a clock_gettime that asks the kernel and adds
// seconds to CLOCK_REALTIME (0) and CLOCK_REALTIME_COARSE (5):
//
//	b8 e4 00 00 00   mov  eax, 228       SYS_clock_gettime
//	0f 05            syscall             edi: clock, rsi: result
//	85 ff            test edi, edi
//	74 05            jz   add
//	83 ff 05         cmp  edi, 5
//	75 0d            jne  end
//	48 b9 …          add: mov rcx, seconds
//	48 01 0e         add  [rsi], rcx
//	c3               end: ret
func skewed(seconds int64) []byte {
	code := []byte{0xb8, 228, 0, 0, 0, 0x0f, 0x05, 0x85, 0xff, 0x74, 0x05, 0x83, 0xff, 0x05, 0x75, 0x0d, 0x48, 0xb9}
	code = binary.LittleEndian.AppendUint64(code, uint64(seconds))
	return append(code, 0x48, 0x01, 0x0e, 0xc3)
}
