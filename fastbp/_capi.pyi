api: object
__pyx_capi__: dict[str, object]
