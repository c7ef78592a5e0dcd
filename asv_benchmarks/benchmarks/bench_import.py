"""What fastbp costs before it does anything: time and memory of its import, size on disk.

Imports nothing at its top, so that the memory is that of the import measured.
"""


class Import:
    """In a fresh interpreter. NumPy's figure is the yardstick."""

    version = "1"
    repeat = (5, 20, 10.0)

    def timeraw_fastbp(self):
        return "import fastbp"

    def timeraw_numpy(self):
        return "import numpy"

    def peakmem_fastbp(self):
        import fastbp  # noqa: F401

    def peakmem_numpy(self):
        import numpy  # noqa: F401


class Size:
    """Of what a wheel holds: the files of the package as they are installed, without sources and caches."""

    version = "1"
    unit = "bytes"

    def files(self):
        from importlib import resources

        kinds = (".py", ".pyi", ".pxd", ".h", ".so", ".pyd", ".npz", ".txt")
        folders = [resources.files("fastbp")]
        for folder in folders:
            for entry in folder.iterdir():
                if entry.is_dir() and entry.name != "__pycache__":
                    folders.append(entry)
                elif entry.name.endswith(kinds):
                    yield entry

    def track_installed(self):
        return sum(file.stat().st_size for file in self.files())

    def track_wheel(self):
        """Each file deflated as in a wheel; without the archive's own few kilobytes."""
        import zlib

        return sum(len(zlib.compress(file.read_bytes(), 6)) for file in self.files())

    def track_largest_extension(self):
        return max(file.stat().st_size for file in self.files() if file.name.endswith((".so", ".pyd")))
