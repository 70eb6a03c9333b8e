# Sourced by the scripts beside it; POSIX sh. Every tool the project uses is looked for on the machine first and
# otherwise unpacked into .tools/ (or $ASSAY_TOOLS) from a package registry, through that registry's own client.
# Nothing here writes outside that directory and a temporary one.

root=$(cd "$(dirname "$0")/.." && pwd)
tools=${ASSAY_TOOLS:-$root/.tools}

# Progress goes to stderr: stdout of these scripts is the answer.
say() { printf '%s\n' "$*" >&2; }
die() { say "error: $*"; exit 1; }
have() { command -v "$1" >/dev/null 2>&1; }

# Absolute path of an executable in PATH; refuses shell functions and the project's own wrapper.
in_path() {
    found=$(command -v "$1" 2>/dev/null) || return 1
    case $found in /*) ;; *) return 1 ;; esac
    [ ! "$found" -ef "$root/$1" ] && printf '%s\n' "$found"
}

# at_least 1.30 1.9.2: is the second version not older than the first?
at_least() {
    [ "$(printf '%s\n%s\n' "$1" "$2" | sort -t. -k1,1n -k2,2n -k3,3n | head -n 1)" = "$1" ]
}

work='' lockdir=''
trap 'rm -rf ${work:+"$work"} ${lockdir:+"$lockdir"}' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# scratch: sets $work to an empty directory on the file system of .tools, gone when the script ends.
scratch() {
    mkdir -p "$tools"
    work=$(mktemp -d "$tools/.new.XXXXXX")
}

# lock NAME: one installer at a time. The lock goes with the process, however it ends, where flock exists;
# elsewhere a directory serves, and one left behind by a dead process is taken over.
lock() {
    mkdir -p "$tools"
    if have flock; then
        exec 9>"$tools/.$1.lock"
        flock -n 9 || { say "waiting for another process that installs $1"; flock 9; }
        return 0
    fi
    while ! mkdir "$tools/.$1.lockdir" 2>/dev/null; do
        holder=$(cat "$tools/.$1.lockdir/pid" 2>/dev/null || echo 0)
        if [ "$holder" != 0 ] && ! kill -0 "$holder" 2>/dev/null; then rm -rf "$tools/.$1.lockdir"; fi
        sleep 1
    done
    echo $$ >"$tools/.$1.lockdir/pid"
    lockdir=$tools/.$1.lockdir
}

# put DIR NAME: makes DIR the installed NAME, in one step.
put() {
    if [ -e "$tools/$2" ]; then mv "$tools/$2" "$work/.old"; fi
    mv "$1" "$tools/$2"
}

# The Python whose pip can download, if there is one; a venv brings pip where only python3-venv is installed.
python_with_pip() {
    for python in python3 python; do
        if have "$python" && "$python" -m pip --version >/dev/null 2>&1; then printf '%s\n' "$python"; return 0; fi
    done
    if have python3 && python3 -m venv "$work/venv" >/dev/null 2>&1; then
        printf '%s\n' "$work/venv/bin/python"
        return 0
    fi
    return 1
}

# wheel REQUIREMENT DIR: unpacks a wheel from PyPI into DIR. Nothing of it is run or installed.
wheel() {
    python=$(python_with_pip) || { say "no Python with pip"; return 1; }
    mkdir -p "$work/wheel" "$2"
    "$python" -m pip download --quiet --disable-pip-version-check --no-deps --only-binary :all: \
        --dest "$work/wheel" "$1" >"$work/pip.log" 2>&1 || { tail -n 3 "$work/pip.log" >&2; return 1; }
    "$python" -m zipfile -e "$work"/wheel/*.whl "$2" || return 1
    rm -rf "$work/wheel"
}

# npm_package NAME DIR: unpacks a package of the npm registry into DIR/package.
npm_package() {
    have npm || { say "no npm"; return 1; }
    mkdir -p "$2"
    (cd "$2" && npm pack --silent "$1" >/dev/null 2>"$work/npm.log" && tar -xzf ./*.tgz && rm -f ./*.tgz) ||
        { tail -n 3 "$work/npm.log" >&2; return 1; }
}

# one_file DIR NAME: path of the only file of that name below DIR, made executable (zip loses the mode).
one_file() {
    file=$(find "$1" -type f -name "$2" | head -n 1)
    [ -n "$file" ] && chmod +x "$file" && printf '%s\n' "$file"
}

# binary PROFILE NAME: builds one of the package's programs and prints its path, wherever cargo puts it.
binary() {
    profile=
    [ "$1" = release ] && profile=--release
    # shellcheck disable=SC2086
    (cd "$root" && cargo build --locked $profile --bin "$2" --message-format=json-render-diagnostics) |
        sed -n "s|.*\"executable\":\"\([^\"]*/$2\)\".*|\1|p" | grep . || die "cargo build of $2 failed"
}

# portable DEBIAN DIR FILE…: makes DIR out of what scripts/debian-unpack left in DEBIAN: the programs of that name, a
# launcher for each, and just the libraries that they and the further FILEs (paths below DEBIAN/root) load.
# A newer libc than the machine's is no obstacle: the packages' own loader runs them.
portable() {
    from=$1 to=$2
    shift 2
    mkdir -p "$to/bin" "$to/lib"
    lib=$(dirname "$(find "$from/root/usr/lib" -name 'ld-linux*.so*' | head -n 1)") || return 1
    loader=$(find "$lib" -maxdepth 1 -name 'ld-linux*.so*' | head -n 1)
    libraries=$(find "$lib" -name '*.so*' -exec dirname {} + | sort -u | paste -sd: -)
    for file in "$@"; do
        case $file in
        usr/bin/*)
            cp "$from/root/$file" "$to/bin/" || return 1
            cp "$root/scripts/launcher" "$to/$(basename "$file")"
            chmod +x "$to/$(basename "$file")"
            ;;
        esac
        "$loader" --library-path "$libraries" --list "$from/root/$file" >"$work/list" 2>&1 ||
            { tail -n 1 "$work/list" >&2; return 1; }
        sed -n 's/.* => \(\/.*\) (0x.*/\1/p' "$work/list"
    done | sort -u >"$work/libraries"
    while read -r file; do cp -L "$file" "$to/lib/"; done <"$work/libraries"
    cp -L "$loader" "$to/lib/loader"
    # The resolver of host names is loaded by name, when it is needed.
    cp -L "$lib"/libnss_dns.so.2 "$lib"/libresolv.so.2 "$to/lib/" 2>/dev/null || true
    cp "$from/PACKAGES.sha256" "$to/"
}
