"""A bucket whose notifications go to a queue, as an operator sets it up: aws.py ENDPOINT COMMAND …"""

import sys

import boto3

endpoint, command, *arguments = sys.argv[1:]


def client(service):
    return boto3.client(
        service,
        endpoint_url=endpoint,
        region_name="eu-central-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
    )


s3, sqs = client("s3"), client("sqs")
if command == "setup":
    where = {"LocationConstraint": "eu-central-1"}
    for bucket in ("trail", "other"):
        s3.create_bucket(Bucket=bucket, CreateBucketConfiguration=where)
    url = sqs.create_queue(QueueName="trail")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    queue = {"QueueArn": arn, "Events": ["s3:ObjectCreated:*"]}
    for bucket in ("trail", "other"):
        s3.put_bucket_notification_configuration(
            Bucket=bucket, NotificationConfiguration={"QueueConfigurations": [queue]}
        )
    print(url)
elif command == "put":
    bucket, key, path = arguments
    with open(path, "rb") as file:
        s3.put_object(Bucket=bucket, Key=key, Body=file.read())
elif command == "send":
    url, body = arguments
    sqs.send_message(QueueUrl=url, MessageBody=body)
elif command in ("left", "hidden"):
    # Hidden messages were received and neither deleted nor given back.
    names = ["ApproximateNumberOfMessagesNotVisible"]
    names += ["ApproximateNumberOfMessages"] if command == "left" else []
    found = sqs.get_queue_attributes(QueueUrl=arguments[0], AttributeNames=names)["Attributes"]
    print(sum(int(found[name]) for name in names))
