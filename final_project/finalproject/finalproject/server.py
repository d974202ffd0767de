"""The server's HTTP parser: zttp, with a bound on pipelined requests. uvicorn's zttp stores them without a limit: 50
connections with 100 requests of 64 KB each took 568 MB. Select it with `--http finalproject.server:Protocol`."""

from uvicorn.protocols.http.zttp_impl import ZttpProtocol


class Protocol(ZttpProtocol):
    """Reads no further request from a connection before the response to the last one is complete."""

    def data_received(self, data: bytes) -> None:
        pipelined = self._responding()
        super().data_received(data)
        if pipelined:
            self.transport.pause_reading()  # not self.flow, which `receive` resumes

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self._responding():
            self.transport.pause_reading()
        elif not self.transport.is_closing():
            self.transport.resume_reading()

    def _responding(self) -> bool:
        return self.cycle is not None and not self.cycle.more_body and not self.cycle.response_complete
