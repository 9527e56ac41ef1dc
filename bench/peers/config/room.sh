# The first argument is the room's folder; then pairs of what is bound where;
# then -- and the command.
set -e
room=$1
shift
for top in usr etc var; do
	mkdir -p "$room/$top" "$room/$top.work"
	mount -t overlay overlay -o "lowerdir=/$top,upperdir=$room/$top,workdir=$room/$top.work" "/$top"
done
mount -t tmpfs -o mode=755 tmpfs /run
while [ "$1" != -- ]; do
	if [ -d "$1" ]; then
		mkdir -p "$2"
	else
		mkdir -p "$(dirname "$2")"
		touch "$2"
	fi
	mount --bind "$1" "$2"
	shift 2
done
shift
exec "$@"
