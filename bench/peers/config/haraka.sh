# Installs Haraka from npm into the room's folder, whose path comes after the
# package's name.
set -e
npm install --no-audit --no-fund --omit=optional --prefix "$2" "$1"
