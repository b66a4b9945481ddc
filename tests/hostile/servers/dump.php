<?php
// What an application under PHP's own server can read of a request.
header('Content-Type: application/json');
echo json_encode(
    ['env' => $_SERVER, 'query' => $_GET, 'cookies' => $_COOKIE, 'fields' => getallheaders()],
    JSON_INVALID_UTF8_SUBSTITUTE | JSON_PARTIAL_OUTPUT_ON_ERROR
);
