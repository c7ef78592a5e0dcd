#!/usr/bin/env bash
# Compiles and links every module for Windows x86-64 with MinGW's GCC and its OpenMP, and runs what has no Python in it, the
# team, its arithmetic, barrier, clock and memory of team.h, under Wine: with OpenMP and with threads of its own.
# Windows' Python is not to be had on Linux: the headers are this one's, with the sizes of Windows for a pyconfig.h, and the
# import library has the names of Python's that the objects ask for. clang-cl, which builds the wheels, needs Windows.
# Needs: Linux, git, file, gcc-mingw-w64-x86-64, wine64; $PYTHON (python3) with Cython and setuptools.
set -euo pipefail
. "$(dirname "$0")/platforms.sh"

target=x86_64-w64-mingw32
copy_tree
cp -r "$("$PYTHON" -c 'import sysconfig; print(sysconfig.get_path("include"))')" "$SCRATCH/include"
cat > "$SCRATCH/include/pyconfig.h" <<'HEADER'
#define MS_WINDOWS
#define MS_WIN32
#define MS_WIN64
#define NT_THREADS
#define Py_ENABLE_SHARED 1
#define MS_COREDLL
#define HAVE_DECLSPEC_DLL
#define SIZEOF_VOID_P 8
#define SIZEOF_SIZE_T 8
#define SIZEOF_SHORT 2
#define SIZEOF_INT 4
#define SIZEOF_LONG 4
#define SIZEOF_LONG_LONG 8
#define SIZEOF_WCHAR_T 2
#define SIZEOF_TIME_T 8
#define SIZEOF_OFF_T 4
#define SIZEOF_FLOAT 4
#define SIZEOF_DOUBLE 8
#define ALIGNOF_MAX_ALIGN_T 8
#define WITH_DOC_STRINGS 1
#define HAVE_STDINT_H 1
#define HAVE_STDDEF_H 1
#define HAVE_SYS_STAT_H 1
#define HAVE_SYS_TYPES_H 1
HEADER

export CC=$target-gcc CFLAGS="-I$SCRATCH/include" LDSHARED=true         # true: what it compiles is linked below
cross_build win-amd64 .pyd --build-lib "$SCRATCH/lib" --build-temp "$SCRATCH/o"
mapfile -t objects < <(find "$SCRATCH/o" -name '*.o')
{ echo 'LIBRARY python3.dll'; echo EXPORTS
  $target-nm --undefined-only "${objects[@]}" | sed -nE 's/^ +U (__imp_)?(_?Py[A-Za-z_0-9]+)$/\2/p' | sort -u
} > "$SCRATCH/python.def"
$target-dlltool --input-def "$SCRATCH/python.def" --output-lib "$SCRATCH/libpython.a"
for object in "${objects[@]}"; do
    $target-gcc -shared -fopenmp -o "${object%.o}.pyd" "$object" "$SCRATCH/libpython.a"
done
find "$SCRATCH/o" -name '*.pyd' -exec file --brief {} + | sort | uniq -c

for openmp in -fopenmp -fno-openmp; do
    $target-gcc -O2 -Wall -Wextra $openmp -static -Ifastbp/_core tools/check_team.c -o "$SCRATCH/check_team.exe"
    PATH=$PATH:/usr/lib/wine WINEPREFIX=$SCRATCH/wine WINEDEBUG=-all wine64 "$SCRATCH/check_team.exe" 2> "$SCRATCH/wine.log" \
        || { cat "$SCRATCH/wine.log"; exit 1; }
done
