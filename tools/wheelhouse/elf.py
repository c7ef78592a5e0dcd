"""What a shared object says of itself. Read with pyelftools, which auditwheel brings."""

from elftools.elf.elffile import ELFFile


class SharedObject:
    def __init__(self, path):
        with open(path, "rb") as stream:
            file = ELFFile(stream)
            self.tags = list(file.get_section_by_name(".dynamic").iter_tags())
            self.symbols = list(file.get_section_by_name(".dynsym").iter_symbols())
            self.sections = [section.name for section in file.iter_sections()]

    def exports(self):
        """Names that other objects can see."""
        return {symbol.name for symbol in self.symbols if symbol.name and symbol["st_info"]["bind"] != "STB_LOCAL"
                and symbol["st_shndx"] not in ("SHN_UNDEF", "SHN_ABS")}

    def needed(self):
        return {tag.needed for tag in self.tags if tag.entry.d_tag == "DT_NEEDED"}

    def search_path(self):
        paths = [tag.rpath if tag.entry.d_tag == "DT_RPATH" else tag.runpath for tag in self.tags
                 if tag.entry.d_tag in ("DT_RPATH", "DT_RUNPATH")]
        return [folder for path in paths for folder in path.split(":")]

    def debugging_sections(self):
        return [name for name in self.sections if name.startswith((".debug", ".symtab"))]
