def source(program, batch): return ""
