package value

import "testing"

func TestSizesAreWrittenAsTheyAreRead(t *testing.T) {
	for text, size := range map[string]Size{"0": 0, "512": 512, "50KB": 50_000, "1500KB": 1_500_000, "2GB": 2e9, "3TB": 3e12} {
		got, err := ParseSize(text)
		if err != nil || got != size || size.String() != text {
			t.Errorf("%s: %d, %v, written %s", text, got, err, size)
		}
	}
}
